ALTER TABLE comparison ADD COLUMN withdrawn_at FLOAT

ALTER TABLE comparison ADD COLUMN replaces BIGINT CONSTRAINT fk_comparison_replaces_comparison
REFERENCES comparison (id)

ALTER TABLE comparison ADD COLUMN reviewed_until BIGINT

ALTER TABLE comparison ADD COLUMN explanation TEXT

ALTER TABLE comparison ADD COLUMN explained_left VARCHAR(1)

ALTER TABLE comparison ADD COLUMN agreement BOOLEAN DEFAULT false NOT NULL

ALTER TABLE comparison ADD COLUMN panel BIGINT CONSTRAINT fk_comparison_panel_panel
REFERENCES panel (id)

CREATE INDEX ix_comparison_out ON comparison (queue_position, id)
WHERE withdrawn_at IS NOT NULL OR explanation IS NOT NULL

ALTER TABLE annotator ADD COLUMN excluded_at FLOAT

ALTER TABLE annotator ADD COLUMN stopped_at FLOAT

ALTER TABLE annotator ADD COLUMN stop_reason TEXT DEFAULT '' NOT NULL

ALTER TABLE annotator ADD COLUMN resumed_at FLOAT

ALTER TABLE annotator ADD COLUMN guideline_seen INTEGER DEFAULT 0 NOT NULL

ALTER TABLE annotator ADD COLUMN consented_at FLOAT

ALTER TABLE annotator ADD COLUMN searched_to BIGINT DEFAULT 0 NOT NULL

ALTER TABLE annotator ADD COLUMN device VARCHAR(64)

ALTER TABLE annotator ADD COLUMN return_hash VARCHAR(64)

CREATE INDEX ix_annotator_device ON annotator (device)

CREATE UNIQUE INDEX uq_annotator_return_hash ON annotator (return_hash)

ALTER TABLE identity ADD COLUMN platform TEXT

ALTER TABLE identity ADD COLUMN external_id TEXT

CREATE UNIQUE INDEX uq_identity_platform ON identity (platform, external_id)

ALTER TABLE invitation ADD COLUMN annotator BIGINT CONSTRAINT fk_invitation_annotator_annotator
REFERENCES annotator (id)

ALTER TABLE invitation ADD COLUMN needs_account BOOLEAN DEFAULT false NOT NULL

ALTER TABLE invitation ADD COLUMN platform TEXT

ALTER TABLE judgment ADD COLUMN criteria JSON DEFAULT '{}' NOT NULL

ALTER TABLE judgment ADD COLUMN ranking BIGINT CONSTRAINT fk_judgment_ranking_ranking
REFERENCES ranking (id)

CREATE INDEX ix_judgment_problem ON judgment (id, comparison)
WHERE answer = 'skip' OR report <> ''

CREATE INDEX ix_comparison_replaces ON comparison (replaces, id)
WHERE replaces IS NOT NULL

CREATE INDEX ix_assignment_expired ON assignment (annotator, id) WHERE state = 'expired'
