-- Whoever is not logged in may ask for the code of a change of number again: that must not read all users.
CREATE INDEX users_new_phone ON users (new_phone) WHERE new_phone IS NOT NULL;
