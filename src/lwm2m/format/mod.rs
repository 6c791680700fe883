//! Content formats: payload bytes to nodes and back.
