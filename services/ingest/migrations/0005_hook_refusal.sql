-- Why Pipedrive refused to register our webhook when that was last tried, in words; null once it
-- is registered.
ALTER TABLE connections ADD COLUMN hook_refusal text;
