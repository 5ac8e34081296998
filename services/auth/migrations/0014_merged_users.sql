-- Guests that became part of an account: a merge that is asked for again, because the answer was lost, gets the same one.
CREATE TABLE merged_users (
    guest_id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    merged_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX merged_users_user_id ON merged_users (user_id);
CREATE INDEX merged_users_merged_at ON merged_users (merged_at);
-- For the clean-up of guests who have gone.
CREATE INDEX users_guests ON users (last_sign_in_at) WHERE is_anonymous;
