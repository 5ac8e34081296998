-- For the clean-up of calls that nobody is to get any more.
CREATE INDEX hook_calls_expires_at ON hook_calls (expires_at);
