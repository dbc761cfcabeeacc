//! The pool against a naive one.
