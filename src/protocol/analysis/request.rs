//! What an analysis is.

use serde_json::{Value, json};

use crate::base::{Dimensions, LabelFilter, SeriesName, TimeRange};

use super::super::request::{labels_value, with_labels, with_range};

/// Lengths of windows that one request may ask for.
pub const LENGTHS_MAX: usize = 1000;
/// Neighbours of a window that one request may ask for.
pub const NEIGHBORS_MAX: usize = 100;

/// Which windows are compared, how, and what is sought among them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Analysis {
    /// What is sought.
    pub kind: AnalysisKind,
    /// Where to look.
    pub series: SeriesName,
    /// Points a window has, at least 3; `None`: chosen by the server.
    pub window: Option<usize>,
    /// Most answers, at least 1.
    pub k: usize,
    /// Which of its points.
    pub labels: LabelFilter,
    /// Which of its time.
    pub range: TimeRange,
    /// Z-normalise the windows.
    pub normalize: bool,
    /// Which dimensions count.
    pub dimensions: Dimensions,
    /// No window crosses a longer gap between two points; `None`: chosen from the steps.
    pub max_gap_ns: Option<u64>,
    /// Points at regular times are made of those there are, and analysed in their place.
    pub resample: Option<Resample>,
    /// All label sets are one sequence in time order.
    pub join_labels: bool,
    /// Where neighbours are sought; `None`: in the same points.
    pub with: Option<Box<With>>,
    /// Milliseconds after which the best so far is the answer.
    pub timeout_ms: Option<u64>,
}

/// What an analysis seeks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AnalysisKind {
    /// The most unusual windows.
    Anomaly(AnomalyOptions),
    /// The closest pairs of windows.
    Motif(MotifOptions),
    /// Where a series begins to be like something else.
    Segment {
        /// Whether the corrected arc curve is answered too.
        curve: bool,
    },
    /// Windows each of which is like the one before it.
    Chains,
    /// How far two series are from each other.
    MpDist,
    /// The stretches that stand best for all others.
    Snippets {
        /// Points of the windows by which stretches are compared; `None`: half of these.
        sub_window: Option<usize>,
    },
}

/// What only anomalies have.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AnomalyOptions {
    /// Windows of each length from the first to the second, instead of one.
    pub lengths: Option<(usize, usize)>,
    /// Only earlier windows are neighbours.
    pub left: bool,
    /// The distance to which of the nearest neighbours is the score, at least 1.
    pub neighbor: usize,
    /// So many of the nearest neighbours of each answer are named.
    pub neighbors: usize,
}

/// What only motifs have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct MotifOptions {
    /// Constant windows take part.
    pub flat: bool,
    /// All windows like a motif are named.
    pub occurrences: bool,
    /// How far these may be from it; `None`: twice as far as its windows from each other.
    pub radius: Option<Distance>,
}

/// Points at regular times, made of those there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Resample {
    /// They are at the multiples of this.
    pub step_ns: u64,
    /// What they are made of.
    pub by: Sampling,
}

/// What a point at a regular time is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Sampling {
    /// The mean of the points from then on, for a step.
    #[default]
    Mean,
    /// The last point until then.
    Last,
    /// The points before and behind, by a straight line.
    Linear,
}

impl Sampling {
    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Mean, Self::Last, Self::Linear].into_iter().find(|sampling| sampling.as_str() == text)
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Last => "last",
            Self::Linear => "linear",
        }
    }
}

/// A distance that is part of a question: two of the same bits ask the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Distance(u64);

impl Distance {
    /// A distance; `None` where it is no finite number of 0 or more.
    pub fn new(distance: f64) -> Option<Self> {
        // −0 is 0.
        (distance.is_finite() && distance >= 0.0).then(|| Self((distance + 0.0).to_bits()))
    }

    /// The number.
    pub fn get(self) -> f64 {
        f64::from_bits(self.0)
    }
}

/// Points beside which others are analysed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct With {
    /// Their series.
    pub series: SeriesName,
    /// Which of its points.
    pub labels: LabelFilter,
    /// Which of its time.
    pub range: TimeRange,
}

impl Default for AnomalyOptions {
    fn default() -> Self {
        Self { lengths: None, left: false, neighbor: 1, neighbors: 0 }
    }
}

impl AnalysisKind {
    /// Anomalies with defaults for all that may be left out.
    pub fn anomaly() -> Self {
        Self::Anomaly(AnomalyOptions::default())
    }

    /// Motifs with defaults for all that may be left out.
    pub fn motif() -> Self {
        Self::Motif(MotifOptions::default())
    }

    /// For metrics and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Anomaly(_) => "anomaly",
            Self::Motif(_) => "motif",
            Self::Segment { .. } => "segment",
            Self::Chains => "chains",
            Self::MpDist => "mpdist",
            Self::Snippets { .. } => "snippets",
        }
    }

    /// The `type` of its JSON request.
    pub fn json_type(&self) -> &'static str {
        match self {
            Self::Anomaly(_) => "Anomaly",
            Self::Motif(_) => "Motif",
            Self::Segment { .. } => "Segment",
            Self::Chains => "Chains",
            Self::MpDist => "MpDist",
            Self::Snippets { .. } => "Snippets",
        }
    }
}

impl Analysis {
    /// With defaults for all that may be left out.
    pub fn new(kind: AnalysisKind, series: SeriesName, window: Option<usize>, k: usize) -> Self {
        Self {
            kind,
            series,
            window,
            k,
            labels: LabelFilter::any(),
            range: TimeRange::ALL,
            normalize: true,
            dimensions: Dimensions::All,
            max_gap_ns: None,
            resample: None,
            join_labels: false,
            with: None,
            timeout_ms: None,
        }
    }

    /// The data of its JSON request.
    pub(in super::super) fn json(&self) -> Value {
        let mut data = json!({ "series": self.series.as_str(), "k": self.k, "normalize": self.normalize });
        match &self.kind {
            AnalysisKind::Anomaly(AnomalyOptions { lengths: Some((least, greatest)), .. }) => {
                data["windows"] = json!([least, greatest]);
            }
            _ => data["window"] = self.window.map_or_else(|| json!("auto"), |window| json!(window)),
        }
        match &self.kind {
            AnalysisKind::Anomaly(options) => options.add_to(&mut data),
            AnalysisKind::Motif(options) => options.add_to(&mut data),
            AnalysisKind::Segment { curve: true } => data["curve"] = json!(true),
            AnalysisKind::Snippets { sub_window: Some(points) } => data["sub_window"] = json!(points),
            AnalysisKind::Segment { .. }
            | AnalysisKind::Chains
            | AnalysisKind::MpDist
            | AnalysisKind::Snippets { .. } => {}
        }
        match self.dimensions {
            Dimensions::All => {}
            Dimensions::Best(best) => data["dimensions"] = json!(best),
            Dimensions::Any => data["dimensions"] = json!("any"),
        }
        if let Some(Resample { step_ns, by }) = self.resample {
            data["step"] = json!(step_ns);
            data["resample"] = json!(by.as_str());
        }
        if let Some(ns) = self.max_gap_ns {
            data["max_gap"] = json!(ns);
        }
        if self.join_labels {
            data["join_labels"] = json!(true);
        }
        if let Some(with) = &self.with {
            with.add_to(&mut data);
        }
        if let Some(ms) = self.timeout_ms {
            data["timeout_ms"] = json!(ms);
        }
        with_labels(with_range(data, self.range), &self.labels)
    }
}

impl AnomalyOptions {
    fn add_to(&self, data: &mut Value) {
        if self.left {
            data["left"] = json!(true);
        }
        if self.neighbor != 1 {
            data["neighbor"] = json!(self.neighbor);
        }
        if self.neighbors != 0 {
            data["neighbors"] = json!(self.neighbors);
        }
    }
}

impl MotifOptions {
    fn add_to(&self, data: &mut Value) {
        if self.flat {
            data["flat"] = json!(true);
        }
        if let Some(radius) = self.radius {
            data["radius"] = json!(radius.get());
        } else if self.occurrences {
            data["occurrences"] = json!(true);
        }
    }
}

impl With {
    fn add_to(&self, data: &mut Value) {
        data["with"] = json!(self.series.as_str());
        if !self.labels.is_any() {
            data["with_labels"] = labels_value(self.labels.pairs());
        }
        if self.range.start_ns != TimeRange::ALL.start_ns {
            data["with_start_ns"] = json!(self.range.start_ns);
        }
        if self.range.end_ns != TimeRange::ALL.end_ns {
            data["with_end_ns"] = json!(self.range.end_ns);
        }
    }
}
