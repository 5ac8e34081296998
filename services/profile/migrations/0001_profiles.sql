CREATE TABLE profiles (
    user_id uuid PRIMARY KEY,
    display_name text CHECK (char_length(display_name) BETWEEN 1 AND 64),
    bio text CHECK (char_length(bio) <= 500),
    locale text CHECK (char_length(locale) <= 35),
    timezone text CHECK (char_length(timezone) <= 64),
    visibility text NOT NULL DEFAULT 'private' CHECK (visibility IN ('public', 'private')),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
