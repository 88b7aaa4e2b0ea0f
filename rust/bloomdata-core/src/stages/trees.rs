//! Trees of messages (OASST1): one path from each root (BC-01).
