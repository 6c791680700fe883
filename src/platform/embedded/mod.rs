//! The platform core played from a folder of files.
