ALTER TABLE reply RENAME TO response

ALTER TABLE prompt RENAME COLUMN turns TO messages

ALTER TABLE response RENAME COLUMN turns TO messages

ALTER TABLE origin RENAME COLUMN reply TO response

ALTER TABLE comparison RENAME COLUMN reply_a TO response_a

ALTER TABLE comparison RENAME COLUMN reply_b TO response_b

ALTER TABLE comparison RENAME COLUMN place TO queue_position

ALTER TABLE annotator RENAME COLUMN place TO queue_position

ALTER TABLE judgment ADD COLUMN p FLOAT CONSTRAINT ck_judgment_p
CHECK (p IS NULL OR kind = 'imported' AND p BETWEEN 0 AND 1)

UPDATE annotator SET role = 'viewer' WHERE role = 'reader'

UPDATE invitation SET role = 'viewer' WHERE role = 'reader'
