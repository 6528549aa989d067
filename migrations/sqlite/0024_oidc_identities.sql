-- Accounts at issuers of OpenID Connect that are a person's: one account there, one person here. issuer is the URL that the
-- issuer calls itself; email is what it said at the link, for people to read, and matches nobody.
CREATE TABLE oidc_identities (
    identity_id  TEXT PRIMARY KEY,
    issuer       TEXT NOT NULL,
    subject      TEXT NOT NULL,
    user_id      TEXT NOT NULL REFERENCES users (user_id),
    email        TEXT,
    linked_at_ms INTEGER NOT NULL,
    UNIQUE (issuer, subject)
);
CREATE INDEX oidc_identities_by_user ON oidc_identities (user_id, linked_at_ms);
