//! Tests of the engine: the laws one by one, what a proof reaches, and the providers' own vectors.

mod algorithms;
mod borders;
mod handshakes;
mod keys;
mod laws;
mod own;
mod reach;
mod rows;
mod vectors;
