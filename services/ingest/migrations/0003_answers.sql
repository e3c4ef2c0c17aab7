-- An answer is repeated to the byte, which jsonb would not do.
ALTER TABLE commands
    ALTER COLUMN answer TYPE bytea USING convert_to(answer::text, 'UTF8');
