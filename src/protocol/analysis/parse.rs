//! From the fields of a JSON request to an analysis.

use serde_json::value::RawValue;

use crate::base::{Dimensions, Error, LabelFilter, Result, SeriesName};

use super::super::duration::Duration;
use super::super::json::Fields;
use super::{
    Analysis, AnalysisKind, AnomalyOptions, Distance, LENGTHS_MAX, MotifOptions, NEIGHBORS_MAX, Resample,
    Sampling, With,
};

impl Analysis {
    /// What a request of this type asks; `None` where it is no analysis.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`.
    pub(in super::super) fn parse(json_type: &str, fields: &mut Fields<'_>) -> Result<Option<Self>> {
        let kind = match json_type {
            "Anomaly" => AnalysisKind::Anomaly(anomaly(fields)?),
            "Motif" => AnalysisKind::Motif(motif(fields)?),
            "Segment" => AnalysisKind::Segment { curve: fields.flag("curve", false)? },
            "Chains" => AnalysisKind::Chains,
            "MpDist" => AnalysisKind::MpDist,
            "Snippets" => AnalysisKind::Snippets { sub_window: fields.count("sub_window", 3)? },
            _ => return Ok(None),
        };
        let series = fields.name("series")?;
        let with = match &kind {
            AnalysisKind::Anomaly(_) | AnalysisKind::Motif(_) => with(fields)?,
            AnalysisKind::MpDist => Some(with(fields)?.ok_or_else(|| fields.missing("with"))?),
            AnalysisKind::Segment { .. } | AnalysisKind::Chains | AnalysisKind::Snippets { .. } => None,
        };
        let window = window(fields, &kind)?;
        let k = fields.count("k", 1)?.unwrap_or(3);
        let timeout: Option<usize> = fields.count("timeout_ms", 1)?;
        let analysis = Self {
            labels: fields.filter()?,
            range: fields.open_range()?,
            normalize: fields.flag("normalize", true)?,
            dimensions: dimensions(fields)?,
            max_gap_ns: duration(fields, "max_gap")?,
            resample: resample(fields)?,
            join_labels: fields.flag("join_labels", false)?,
            with,
            timeout_ms: timeout.map(|ms| ms as u64),
            ..Self::new(kind, series, window, k)
        };
        analysis.check_together().map(|()| Some(analysis))
    }

    /// Refuses what has no meaning together.
    fn check_together(&self) -> Result<()> {
        if let (Some(Resample { step_ns, .. }), Some(gap_ns)) = (self.resample, self.max_gap_ns)
            && gap_ns < step_ns
        {
            return Err(Error::invalid(format!(
                "max_gap is {gap_ns} ns and step {step_ns} ns; use a max_gap of at least one step, or a smaller step"
            )));
        }
        if let (AnalysisKind::Snippets { sub_window: Some(part) }, Some(window)) = (&self.kind, self.window)
            && *part > window
        {
            return Err(Error::invalid(format!(
                "sub_window is {part} and window {window}; use a sub_window of at most the window"
            )));
        }
        let AnalysisKind::Anomaly(options) = &self.kind else { return Ok(()) };
        if options.lengths.is_some() && !self.normalize {
            return Err(Error::invalid(
                "field 'windows' needs z-normalised windows, for others of different lengths can't be compared; \
                 remove normalize, or give one window",
            ));
        }
        if options.left && self.with.is_some() {
            return Err(Error::invalid(
                "fields 'left' and 'with' can't be together: windows of another series are not earlier ones; \
                 give with_end_ns to bound its time",
            ));
        }
        Ok(())
    }
}

fn window(fields: &mut Fields<'_>, kind: &AnalysisKind) -> Result<Option<usize>> {
    let has_lengths = matches!(kind, AnalysisKind::Anomaly(options) if options.lengths.is_some());
    match fields.find("window") {
        Some(raw) if raw.get() == "\"auto\"" => Ok(None),
        Some(raw) if raw.get() == "null" && has_lengths => Ok(None),
        None if has_lengths => Ok(None),
        _ => {
            Ok(Some(fields.count_or("window", 3, ", or \"auto\"")?.ok_or_else(|| fields.missing("window"))?))
        }
    }
}

fn anomaly(fields: &mut Fields<'_>) -> Result<AnomalyOptions> {
    Ok(AnomalyOptions {
        left: fields.flag("left", false)?,
        lengths: lengths(fields)?,
        neighbor: at_most(NEIGHBORS_MAX, "neighbor", fields.count("neighbor", 1)?)?.unwrap_or(1),
        neighbors: at_most(NEIGHBORS_MAX, "neighbors", fields.count("neighbors", 0)?)?.unwrap_or(0),
    })
}

fn motif(fields: &mut Fields<'_>) -> Result<MotifOptions> {
    let flat = fields.flag("flat", false)?;
    let asked: Option<bool> = fields.optional("occurrences", "true or false")?;
    let radius = match fields.float("radius")? {
        None => None,
        Some(radius) => Some(Distance::new(radius).ok_or_else(|| {
            Error::invalid(format!("field 'radius' is {radius}; use a distance of 0 or more"))
        })?),
    };
    if asked == Some(false) && radius.is_some() {
        return Err(Error::invalid(
            "field 'radius' says which occurrences are named, and 'occurrences' is false; remove one of them",
        ));
    }
    Ok(MotifOptions { flat, occurrences: asked.unwrap_or(radius.is_some()), radius })
}

/// The least and the greatest length of the windows of anomalies.
fn lengths(fields: &mut Fields<'_>) -> Result<Option<(usize, usize)>> {
    let expected = "a list of the least and the greatest length, such as [50, 100]";
    let Some([least, greatest]) = fields.optional::<[usize; 2]>("windows", expected)? else {
        return Ok(None);
    };
    if fields.find("window").is_some_and(|raw| raw.get() != "null") {
        return Err(Error::invalid("fields 'window' and 'windows' can't be together; give one of them"));
    }
    if least < 3 || greatest < least || greatest - least >= LENGTHS_MAX {
        return Err(Error::invalid(format!(
            "field 'windows' is [{least}, {greatest}]; use lengths of 3 and more, the lesser first, and at most \
             {LENGTHS_MAX} of them"
        )));
    }
    Ok(Some((least, greatest)))
}

fn with(fields: &mut Fields<'_>) -> Result<Option<Box<With>>> {
    let Some(name) = fields.optional::<String>("with", "the name of a series")? else { return Ok(None) };
    Ok(Some(Box::new(With {
        series: SeriesName::new(&name)?,
        labels: LabelFilter::new(fields.labels_in("with_labels")?),
        range: fields.open_range_in("with_start_ns", "with_end_ns")?,
    })))
}

fn duration(fields: &mut Fields<'_>, name: &str) -> Result<Option<u64>> {
    let expected = "a duration above 0: an integer of nanoseconds, or a string like \"5m\"";
    match fields.optional::<Duration>(name, expected)? {
        Some(Duration(0)) => Err(Error::invalid(format!("field '{name}' is 0; use {expected}"))),
        found => Ok(found.map(|found| found.0)),
    }
}

fn dimensions(fields: &mut Fields<'_>) -> Result<Dimensions> {
    match fields.find("dimensions").map(RawValue::get) {
        Some("\"all\"") => Ok(Dimensions::All),
        Some("\"any\"") => Ok(Dimensions::Any),
        // More than a series can have are told when its dimension is known.
        _ => Ok(fields
            .count_or("dimensions", 1, ", \"all\" or \"any\"")?
            .map_or(Dimensions::All, Dimensions::Best)),
    }
}

fn resample(fields: &mut Fields<'_>) -> Result<Option<Resample>> {
    let step_ns = duration(fields, "step")?;
    let by: Option<String> = fields.optional("resample", "\"mean\", \"last\" or \"linear\"")?;
    let by = by.map(|text| {
        Sampling::parse(&text).ok_or_else(|| {
            Error::invalid(format!("field 'resample' is \"{text}\"; use \"mean\", \"last\" or \"linear\""))
        })
    });
    let by = by.transpose()?;
    match step_ns {
        Some(step_ns) if i64::try_from(step_ns).is_err() => {
            Err(Error::invalid(format!("field 'step' is {step_ns} ns; use at most {} ns", i64::MAX)))
        }
        Some(step_ns) => Ok(Some(Resample { step_ns, by: by.unwrap_or_default() })),
        None if by.is_some() => Err(Error::invalid(
            "field 'resample' says how points are made at regular times, and 'step' is missing; add it, such as \"1m\"",
        )),
        None => Ok(None),
    }
}

fn at_most(most: usize, name: &str, found: Option<usize>) -> Result<Option<usize>> {
    match found {
        Some(found) if found > most => {
            Err(Error::invalid(format!("field '{name}' is {found}; use at most {most}")))
        }
        found => Ok(found),
    }
}
