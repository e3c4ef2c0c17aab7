-- Names are indexed spelt out, too, and syllable by syllable, and by how many words they have: each
-- index is built anew, as if there had been none.
TRUNCATE search_users, search_pending, search_free_slots, search_slots, search_moved,
         search_documents, search_organizations, search_words, search_postings;
