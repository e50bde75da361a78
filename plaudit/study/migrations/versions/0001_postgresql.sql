CREATE TABLE study (
    id SERIAL NOT NULL,
    settings JSON NOT NULL,
    secret VARCHAR(64) NOT NULL,
    created_at FLOAT NOT NULL,
    CONSTRAINT pk_study PRIMARY KEY (id)
)

CREATE TABLE guideline (
    version SERIAL NOT NULL,
    markdown TEXT NOT NULL,
    created_at FLOAT NOT NULL,
    CONSTRAINT pk_guideline PRIMARY KEY (version)
)

CREATE TABLE prompt (
    id BIGSERIAL NOT NULL,
    hash VARCHAR(32) NOT NULL,
    turns JSON NOT NULL,
    CONSTRAINT pk_prompt PRIMARY KEY (id),
    CONSTRAINT uq_prompt_hash UNIQUE (hash)
)

CREATE TABLE annotator (
    id BIGSERIAL NOT NULL,
    pseudonym VARCHAR(80) NOT NULL,
    role VARCHAR(12) NOT NULL,
    active BOOLEAN NOT NULL,
    place BIGINT NOT NULL,
    judged INTEGER NOT NULL,
    preferences JSON NOT NULL,
    created_at FLOAT NOT NULL,
    CONSTRAINT pk_annotator PRIMARY KEY (id),
    CONSTRAINT uq_annotator_pseudonym UNIQUE (pseudonym)
)

CREATE TABLE invitation (
    id BIGSERIAL NOT NULL,
    hash VARCHAR(64) NOT NULL,
    role VARCHAR(12) NOT NULL,
    uses INTEGER NOT NULL,
    expires_at FLOAT NOT NULL,
    created_at FLOAT NOT NULL,
    CONSTRAINT pk_invitation PRIMARY KEY (id),
    CONSTRAINT uq_invitation_hash UNIQUE (hash)
)

CREATE TABLE audit (
    id BIGSERIAL NOT NULL,
    at FLOAT NOT NULL,
    actor VARCHAR(80) NOT NULL,
    verb VARCHAR(40) NOT NULL,
    details JSON NOT NULL,
    CONSTRAINT pk_audit PRIMARY KEY (id)
)

CREATE TABLE reply (
    id BIGSERIAL NOT NULL,
    prompt BIGINT NOT NULL,
    hash VARCHAR(32) NOT NULL,
    turns JSON NOT NULL,
    characters INTEGER NOT NULL,
    words INTEGER NOT NULL,
    CONSTRAINT pk_reply PRIMARY KEY (id),
    CONSTRAINT uq_reply_prompt_hash UNIQUE (prompt, hash),
    CONSTRAINT fk_reply_prompt_prompt FOREIGN KEY(prompt) REFERENCES prompt (id)
)

CREATE TABLE identity (
    annotator BIGINT NOT NULL,
    name TEXT NOT NULL,
    email VARCHAR(254),
    password TEXT,
    CONSTRAINT pk_identity PRIMARY KEY (annotator),
    CONSTRAINT fk_identity_annotator_annotator FOREIGN KEY(annotator) REFERENCES annotator (id),
    CONSTRAINT uq_identity_email UNIQUE (email)
)

CREATE TABLE session (
    hash VARCHAR(64) NOT NULL,
    annotator BIGINT NOT NULL,
    expires_at FLOAT NOT NULL,
    CONSTRAINT pk_session PRIMARY KEY (hash),
    CONSTRAINT fk_session_annotator_annotator FOREIGN KEY(annotator) REFERENCES annotator (id)
)

CREATE TABLE origin (
    id BIGSERIAL NOT NULL,
    reply BIGINT NOT NULL,
    model TEXT NOT NULL,
    sampling JSON NOT NULL,
    hash VARCHAR(32) NOT NULL,
    CONSTRAINT pk_origin PRIMARY KEY (id),
    CONSTRAINT uq_origin_reply_hash UNIQUE (reply, hash),
    CONSTRAINT fk_origin_reply_reply FOREIGN KEY(reply) REFERENCES reply (id)
)

CREATE TABLE comparison (
    id BIGSERIAL NOT NULL,
    hash VARCHAR(32) NOT NULL,
    prompt BIGINT NOT NULL,
    reply_a BIGINT NOT NULL,
    reply_b BIGINT NOT NULL,
    place BIGINT NOT NULL,
    overlap INTEGER NOT NULL,
    slots INTEGER NOT NULL,
    reopened BOOLEAN NOT NULL,
    gold VARCHAR(4),
    gold_since FLOAT,
    "group" TEXT NOT NULL,
    columns JSON NOT NULL,
    created_at FLOAT NOT NULL,
    CONSTRAINT pk_comparison PRIMARY KEY (id),
    CONSTRAINT uq_comparison_hash UNIQUE (hash),
    CONSTRAINT fk_comparison_prompt_prompt FOREIGN KEY(prompt) REFERENCES prompt (id),
    CONSTRAINT fk_comparison_reply_a_reply FOREIGN KEY(reply_a) REFERENCES reply (id),
    CONSTRAINT fk_comparison_reply_b_reply FOREIGN KEY(reply_b) REFERENCES reply (id)
)

CREATE INDEX ix_comparison_open ON comparison (place, id) WHERE slots > 0

CREATE INDEX ix_comparison_reopened ON comparison (place, id) WHERE reopened

CREATE INDEX ix_comparison_gold ON comparison (place, id) WHERE gold IS NOT NULL

CREATE TABLE assignment (
    id BIGSERIAL NOT NULL,
    token VARCHAR(32) NOT NULL,
    comparison BIGINT NOT NULL,
    annotator BIGINT NOT NULL,
    kind VARCHAR(16) NOT NULL,
    "left" VARCHAR(1) NOT NULL,
    state VARCHAR(16) NOT NULL,
    leased_until FLOAT NOT NULL,
    issued_at FLOAT NOT NULL,
    CONSTRAINT pk_assignment PRIMARY KEY (id),
    CONSTRAINT uq_assignment_annotator_comparison_kind UNIQUE (annotator, comparison, kind),
    CONSTRAINT uq_assignment_token UNIQUE (token),
    CONSTRAINT fk_assignment_comparison_comparison FOREIGN KEY(comparison) REFERENCES comparison (id),
    CONSTRAINT fk_assignment_annotator_annotator FOREIGN KEY(annotator) REFERENCES annotator (id)
)

CREATE INDEX ix_assignment_leased ON assignment (leased_until, id) WHERE state = 'leased'

CREATE INDEX ix_assignment_comparison ON assignment (comparison)

CREATE INDEX ix_assignment_held ON assignment (annotator, id) WHERE state = 'leased'

CREATE TABLE judgment (
    id BIGSERIAL NOT NULL,
    key VARCHAR(64) NOT NULL,
    comparison BIGINT NOT NULL,
    annotator BIGINT NOT NULL,
    assignment BIGINT,
    kind VARCHAR(16) NOT NULL,
    answer VARCHAR(16) NOT NULL,
    strength INTEGER,
    "left" VARCHAR(1),
    reasons JSON NOT NULL,
    rationale TEXT NOT NULL,
    report TEXT NOT NULL,
    active_ms INTEGER,
    wall_ms INTEGER,
    first_input_ms INTEGER,
    guideline INTEGER,
    late BOOLEAN NOT NULL,
    supersedes BIGINT,
    created_at FLOAT NOT NULL,
    CONSTRAINT pk_judgment PRIMARY KEY (id),
    CONSTRAINT uq_judgment_supersedes UNIQUE (supersedes),
    CONSTRAINT ck_judgment_kind CHECK (kind IN ('vote', 'retest', 'imported', 'resolution')),
    CONSTRAINT ck_judgment_answer CHECK (answer IN ('a', 'b', 'tie', 'both_bad', 'skip', 'withdrawn')),
    CONSTRAINT ck_judgment_strength CHECK (strength IS NULL OR strength BETWEEN 1 AND 3),
    CONSTRAINT uq_judgment_key UNIQUE (key),
    CONSTRAINT fk_judgment_comparison_comparison FOREIGN KEY(comparison) REFERENCES comparison (id),
    CONSTRAINT fk_judgment_annotator_annotator FOREIGN KEY(annotator) REFERENCES annotator (id),
    CONSTRAINT fk_judgment_assignment_assignment FOREIGN KEY(assignment) REFERENCES assignment (id),
    CONSTRAINT fk_judgment_supersedes_judgment FOREIGN KEY(supersedes) REFERENCES judgment (id)
)

CREATE INDEX ix_judgment_assignment ON judgment (assignment)

CREATE INDEX ix_judgment_comparison ON judgment (comparison)

CREATE INDEX ix_judgment_annotator ON judgment (annotator, id)

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$

CREATE TRIGGER judgment_update_refused BEFORE UPDATE ON judgment
FOR EACH ROW EXECUTE FUNCTION refuse_change()

CREATE TRIGGER judgment_delete_refused BEFORE DELETE ON judgment
FOR EACH ROW EXECUTE FUNCTION refuse_change()

CREATE TRIGGER audit_update_refused BEFORE UPDATE ON audit
FOR EACH ROW EXECUTE FUNCTION refuse_change()

CREATE TRIGGER audit_delete_refused BEFORE DELETE ON audit
FOR EACH ROW EXECUTE FUNCTION refuse_change()
