//! Metrics by label where every label is a closed enum: all series exist from the start, and reaching one takes
//! neither lock nor hash.

use std::{fmt, marker::PhantomData, sync::Arc};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::{MetricType, TypedMetric},
};

/// A label with a fixed set of values.
pub trait Label: Copy + fmt::Debug + Send + Sync + 'static {
    /// Its name.
    const KEY: &'static str;
    /// Its values in order.
    const VALUES: &'static [&'static str];

    /// Position of this value in [`Label::VALUES`].
    fn index(self) -> usize;
}

/// One label or a pair of labels.
pub trait LabelSet: Copy + fmt::Debug + Send + Sync + 'static {
    /// How many combinations there are.
    const LEN: usize;

    /// Position of this combination, below [`LabelSet::LEN`].
    fn index(self) -> usize;

    /// Name and value of each label of the combination at a position.
    fn pairs(index: usize) -> Vec<(&'static str, &'static str)>;
}

impl<L: Label> LabelSet for L {
    const LEN: usize = L::VALUES.len();

    fn index(self) -> usize {
        Label::index(self)
    }

    fn pairs(index: usize) -> Vec<(&'static str, &'static str)> {
        L::VALUES
            .get(index)
            .map(|value| (L::KEY, *value))
            .into_iter()
            .collect()
    }
}

impl<A: Label, B: Label> LabelSet for (A, B) {
    const LEN: usize = A::VALUES.len() * B::VALUES.len();

    fn index(self) -> usize {
        Label::index(self.0) * B::VALUES.len() + Label::index(self.1)
    }

    fn pairs(index: usize) -> Vec<(&'static str, &'static str)> {
        let (a, b) = (index / B::VALUES.len(), index % B::VALUES.len());
        let mut pairs = A::pairs(a);
        pairs.extend(B::pairs(b));
        pairs
    }
}

/// One metric for each combination of labels.
#[derive(Debug)]
pub struct Table<L, M> {
    cells: Arc<[M]>,
    labels: PhantomData<L>,
}

impl<L: LabelSet, M> Table<L, M> {
    /// A table of metrics made by `make`.
    pub fn new(make: impl Fn() -> M) -> Self {
        Self {
            cells: (0..L::LEN).map(|_| make()).collect(),
            labels: PhantomData,
        }
    }

    /// The metric of these labels.
    pub fn of(&self, labels: L) -> &M {
        &self.cells[labels.index()]
    }
}

impl<L: LabelSet, M: Default> Default for Table<L, M> {
    fn default() -> Self {
        Self::new(M::default)
    }
}

impl<L, M> Clone for Table<L, M> {
    fn clone(&self) -> Self {
        Self {
            cells: self.cells.clone(),
            labels: PhantomData,
        }
    }
}

impl<L: LabelSet, M: EncodeMetric + TypedMetric> EncodeMetric for Table<L, M> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (index, cell) in self.cells.iter().enumerate() {
            let pairs = L::pairs(index);
            cell.encode(encoder.encode_family(&pairs)?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }
}

/// Defines an enum as a [`Label`]: name of the label, then each variant with its value.
macro_rules! label {
    ($(#[$doc:meta])* $vis:vis enum $name:ident $key:literal { $($variant:ident $value:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        $vis enum $name {
            $(#[doc = concat!("`", $value, "`")] $variant,)+
        }

        impl $name {
            /// All values in order.
            $vis const ALL: [Self; [$($value),+].len()] = [$(Self::$variant),+];
        }

        impl $crate::server::metrics::table::Label for $name {
            const KEY: &'static str = $key;
            const VALUES: &'static [&'static str] = &[$($value),+];

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

pub(super) use label;

#[cfg(test)]
mod tests {
    use super::*;

    label! { enum Color "color" { Red "red", Green "green" } }
    label! { enum Size "size" { Small "small", Medium "medium", Large "large" } }

    #[test]
    fn pairs_of_labels_have_a_cell_each() {
        let mut seen = Vec::new();
        for color in Color::ALL {
            for size in Size::ALL {
                let index = LabelSet::index((color, size));
                seen.push(index);
                assert_eq!(
                    <(Color, Size)>::pairs(index),
                    [
                        ("color", Color::VALUES[Label::index(color)]),
                        ("size", Size::VALUES[Label::index(size)]),
                    ]
                );
            }
        }
        assert_eq!(seen, (0..<(Color, Size)>::LEN).collect::<Vec<_>>());
    }
}
