-- Hashes of passwords that cost something else than those of today, in an order that has nothing to do with them: a few of
-- them are what an unknown address costs, in the same share (see decoys.py).
CREATE INDEX users_foreign_hash ON users (md5(id::text))
    WHERE password_hash NOT LIKE '$argon2id$v=19$m=19456,t=2,p=1$%';
