-- How often the pause of a bucket doubles: never, where what goes out in a window must not pass a number.
ALTER TABLE throttles ADD COLUMN steps float8 NOT NULL DEFAULT 5;
