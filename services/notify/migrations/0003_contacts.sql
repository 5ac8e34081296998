-- What is known of a person, pieced together from events that come in any order.
-- account_at orders what auth says, profile_version what profile says; NULL means that it has said nothing yet.
CREATE TABLE contacts (
    user_id uuid PRIMARY KEY,
    email text,
    email_confirmed_at timestamptz,
    account_at timestamptz,
    display_name text,
    locale text,
    timezone text,
    profile_version integer
);
