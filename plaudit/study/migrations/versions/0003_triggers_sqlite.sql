CREATE TRIGGER ranking_update_refused BEFORE UPDATE ON ranking
BEGIN SELECT RAISE(ABORT, 'ranking is append-only'); END

CREATE TRIGGER ranking_delete_refused BEFORE DELETE ON ranking
BEGIN SELECT RAISE(ABORT, 'ranking is append-only'); END
