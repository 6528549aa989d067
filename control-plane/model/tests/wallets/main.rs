//! Sign-ins that other people's libraries wrote and signed (`vectors.json`, by `make.mjs`), and what is near to them and must
//! not hold.

mod requests;
mod signatures;
mod vector;
