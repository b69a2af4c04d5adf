//! The remote picture as coloured character cells.
