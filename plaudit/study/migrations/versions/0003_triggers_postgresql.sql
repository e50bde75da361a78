CREATE TRIGGER ranking_update_refused BEFORE UPDATE ON ranking
FOR EACH ROW EXECUTE FUNCTION refuse_change()

CREATE TRIGGER ranking_delete_refused BEFORE DELETE ON ranking
FOR EACH ROW EXECUTE FUNCTION refuse_change()
