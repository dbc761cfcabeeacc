//! The decisions: rules, routes and pools. No I/O, no clock, no threads.
