-- What came with the request that a secret answers: the PKCE challenge of the app, and what becomes user_metadata.
ALTER TABLE one_time_tokens
    ADD COLUMN code_challenge text,
    ADD COLUMN code_challenge_method text,
    ADD COLUMN user_metadata jsonb;
COMMENT ON COLUMN one_time_tokens.email IS 'where the secret went: an address, or a number';
