ALTER TABLE users DROP COLUMN sign_up_tried_at;
