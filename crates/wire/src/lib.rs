//! The PostgreSQL protocol, sans-I/O: frames, messages, the conversation, authentication.
