-- For pages of an owner's interactions, newest first.
CREATE INDEX interactions_by_owner ON interactions (owner, number);
