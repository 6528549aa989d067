//! Development only: simulated agents, runtimes and fleets, throwaway PostgreSQL, fault proxy.

pub mod postgres;
