//! A compressed and encrypted store, in memory and on disk, whose entries expire on time.
