-- Addresses are indexed by their domains, too: each index is built anew, as if there had been none.
TRUNCATE search_users, search_pending, search_free_slots, search_slots, search_moved,
         search_documents, search_organizations, search_words, search_postings;
