CREATE TABLE panel (
    id BIGSERIAL NOT NULL,
    hash VARCHAR(32) NOT NULL,
    prompt BIGINT NOT NULL,
    responses JSON NOT NULL,
    created_at FLOAT NOT NULL,
    CONSTRAINT pk_panel PRIMARY KEY (id),
    CONSTRAINT uq_panel_hash UNIQUE (hash),
    CONSTRAINT fk_panel_prompt_prompt FOREIGN KEY (prompt) REFERENCES prompt (id)
)

CREATE TABLE ranking (
    id BIGSERIAL NOT NULL,
    panel BIGINT NOT NULL,
    annotator BIGINT NOT NULL,
    assignment BIGINT,
    tiers JSON NOT NULL,
    created_at FLOAT NOT NULL,
    CONSTRAINT pk_ranking PRIMARY KEY (id),
    CONSTRAINT fk_ranking_panel_panel FOREIGN KEY (panel) REFERENCES panel (id),
    CONSTRAINT fk_ranking_annotator_annotator FOREIGN KEY (annotator) REFERENCES annotator (id),
    CONSTRAINT fk_ranking_assignment_assignment FOREIGN KEY (assignment) REFERENCES assignment (id)
)

CREATE INDEX ix_ranking_panel ON ranking (panel)

CREATE TABLE rendering (
    hash VARCHAR(32) NOT NULL,
    version INTEGER NOT NULL,
    messages JSON NOT NULL,
    CONSTRAINT pk_rendering PRIMARY KEY (hash)
)
