//! Which dimensions count in the distance of two windows.

/// Which dimensions count in the distance of two windows of points with several values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Dimensions {
    /// All: the mean of their distances.
    #[default]
    All,
    /// The mean of the so many least distances: dimensions that have nothing to do with it
    /// do not hide what the others have in common.
    Best(usize),
    /// The greatest distance: one dimension that is unlike is enough.
    Any,
}
