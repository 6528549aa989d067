//! Ingest over a real store.
