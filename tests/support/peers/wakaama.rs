//! wakaama.
