//! How like a query the windows of a series can be at most, without scoring each.
//!
//! The products of the query with all windows come from one pass of sliding dot products,
//! for long windows from the spectra of overlapping stretches (overlap-save), the lengths of the windows (for correlations, about their means) from running sums that
//! start anew every so often. Both are rounded; what rounding can do is added, so that no
//! window is better than its bound. Whoever wants the best windows scores those with the
//! greatest bounds exactly, until no other can be among them: see
//! [`Search`](super::Search). In exact arithmetic this is the distance profile of Mueen
//! et al., "The fastest similarity search algorithm for time series subsequences under
//! Euclidean distance" (MASS), 2017.

use std::sync::Arc;

use realfft::num_complex::Complex64;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use crate::kernels::{Instructions, power_of_two_scale, sliding_dots};

use super::Target;

/// Windows of a stretch: running sums start anew with each.
const STRETCH: usize = 2048;
/// Windows of so many points and more are multiplied by way of their spectra.
const SPECTRA_MIN: usize = 1024;

/// Half the distance of 1 to the next number: what one rounding does at most.
const ROUNDING: f64 = f64::EPSILON / 2.0;

/// Upper bounds of the scores of all windows; `None` where the metric has none that is
/// cheaper than the score. `values` are time-major, in a series of `dimension`.
pub(super) fn score_bounds(target: &Target, values: &[f64], dimension: usize) -> Option<Vec<f64>> {
    let m = target.len() / dimension;
    let points = values.len() / dimension;
    if !target.is_angle() || points < m {
        return None;
    }
    let scale = power_of_two_scale(values);
    let mut products = Products::new(m);
    let columns: Vec<Column> = (0..dimension)
        .map(|at| Column::new(target, values, (at, dimension), scale))
        .map(|column| products.prepare(column))
        .collect();
    // What the exact score itself is off by.
    let of_score = (2 * target.len() + 32) as f64 * ROUNDING;
    let mut bounds = Vec::with_capacity(points - m + 1);
    while bounds.len() + m <= points {
        let start = bounds.len();
        let count = products.windows().min(points - m + 1 - start);
        let mut sums = vec![Sums::default(); count];
        for column in &columns {
            let stretch = &column.values[start..start + count + m - 1];
            let (products, products_off) = products.of(column, stretch);
            let energies = energies(stretch, m, target.is_centred());
            for ((sums, &product), energy) in sums.iter_mut().zip(products).zip(&energies.each) {
                // The numbers are at most of length 1, those of a window of `length`.
                let off = products_off + (2 * m + 16) as f64 * ROUNDING * energies.length;
                if target.is_centred() {
                    sums.correlation += ratio(product + off, *energy, energies.off);
                } else {
                    sums.product += product + off;
                    sums.energy += energy;
                    sums.energy_off += energies.off;
                }
            }
        }
        bounds.extend(sums.into_iter().map(|sums| {
            let bound = if target.is_centred() {
                sums.correlation / dimension as f64
            } else {
                ratio(sums.product, sums.energy, sums.energy_off)
            };
            bound + of_score
        }));
    }
    Some(bounds)
}

#[derive(Clone, Default)]
struct Sums {
    product: f64,
    energy: f64,
    energy_off: f64,
    correlation: f64,
}

/// The most that product / √energy can be, where the energy is off by so much.
fn ratio(product: f64, energy: f64, off: f64) -> f64 {
    let (least, most) = (energy - off, energy + off);
    if least <= 0.0 {
        // Anything, for all that is known.
        return 1.0;
    }
    (product / if product > 0.0 { least } else { most }.sqrt()).min(1.0)
}

/// The products of a query with the windows of a stretch.
struct Products {
    instructions: Instructions,
    m: usize,
    /// Each, and room for them.
    each: Vec<f64>,
    spectra: Option<Spectra>,
}

/// What is needed to multiply by way of spectra.
struct Spectra {
    forward: Arc<dyn RealToComplex<f64>>,
    backward: Arc<dyn ComplexToReal<f64>>,
    numbers: Vec<f64>,
    spectrum: Vec<Complex64>,
}

impl Products {
    fn new(m: usize) -> Self {
        let spectra = (m >= SPECTRA_MIN).then(|| {
            let length = (4 * m).next_power_of_two();
            let mut planner = RealFftPlanner::new();
            let (forward, backward) = (planner.plan_fft_forward(length), planner.plan_fft_inverse(length));
            let (numbers, spectrum) = (forward.make_input_vec(), forward.make_output_vec());
            Spectra { forward, backward, numbers, spectrum }
        });
        let windows = spectra.as_ref().map_or(STRETCH, |spectra| spectra.numbers.len() - m + 1);
        Self { instructions: Instructions::best(), m, each: vec![0.0; windows], spectra }
    }

    /// Windows of a stretch, at most.
    fn windows(&self) -> usize {
        self.each.len()
    }

    /// Notes the spectrum of the query, if it is needed.
    fn prepare(&mut self, column: Column) -> Column {
        let Some(spectra) = &mut self.spectra else { return column };
        spectra.transform(&column.query);
        // The conjugate: the products are a correlation.
        let spectrum = spectra.spectrum.iter().map(Complex64::conj).collect();
        Column { spectrum, ..column }
    }

    /// The products, and how much more than sums of products one can be off.
    fn of(&mut self, column: &Column, stretch: &[f64]) -> (&[f64], f64) {
        let count = stretch.len() + 1 - self.m;
        let Some(spectra) = &mut self.spectra else {
            let each = &mut self.each[..count];
            sliding_dots(self.instructions, &column.query, stretch, each);
            return (each, 0.0);
        };
        spectra.transform(stretch);
        for (number, of_query) in spectra.spectrum.iter_mut().zip(&column.spectrum) {
            *number *= of_query;
        }
        spectra.back();
        let length = spectra.numbers.len() as f64;
        for (out, number) in self.each.iter_mut().zip(&spectra.numbers) {
            *out = number / length;
        }
        // Three transforms, each off by a few roundings a level of what it transforms
        // (Higham, "Accuracy and Stability of Numerical Algorithms", 2002, §24.1).
        let energy: f64 = stretch.iter().map(|value| value * value).sum();
        (&self.each[..count], 32.0 * length.log2() * ROUNDING * (1.01 * energy).sqrt())
    }
}

impl Spectra {
    /// The spectrum of numbers, with zeros after them.
    fn transform(&mut self, numbers: &[f64]) {
        self.numbers.fill(0.0);
        self.numbers[..numbers.len()].copy_from_slice(numbers);
        self.forward
            .process(&mut self.numbers, &mut self.spectrum)
            .expect("the buffers are of the length that was planned");
    }

    /// The numbers of the spectrum, times how many there are.
    fn back(&mut self) {
        // Of real numbers these are real; rounding leaves a rest.
        let last = self.spectrum.len() - 1;
        self.spectrum[0].im = 0.0;
        self.spectrum[last].im = 0.0;
        self.backward
            .process(&mut self.spectrum, &mut self.numbers)
            .expect("the buffers are of the length that was planned");
    }
}

/// One dimension of the series and of the query.
struct Column {
    query: Vec<f64>,
    /// The conjugate spectrum of the query, for long windows.
    spectrum: Vec<Complex64>,
    /// Scaled by a power of two, and about zero where windows are centred.
    values: Vec<f64>,
}

impl Column {
    fn new(target: &Target, values: &[f64], (at, dimension): (usize, usize), scale: f64) -> Self {
        let pick = |of: &[f64]| of.iter().skip(at).step_by(dimension).copied().collect::<Vec<f64>>();
        let mut values: Vec<f64> = pick(values).into_iter().map(|value| value * scale).collect();
        if target.is_centred() {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            for value in &mut values {
                *value -= mean;
            }
        }
        Self { query: pick(target.numbers()), spectrum: Vec::new(), values }
    }
}

/// The energies of the windows of a stretch.
struct Energies {
    /// Sums of squares, about the mean where windows are centred.
    each: Vec<f64>,
    /// The most that rounding can have changed one.
    off: f64,
    /// The greatest length of a window, not about its mean.
    length: f64,
}

fn energies(stretch: &[f64], m: usize, is_centred: bool) -> Energies {
    let (mut sum, mut squares) = (0.0, 0.0);
    for value in &stretch[..m] {
        sum += value;
        squares += value * value;
    }
    let (mut each, mut most) = (Vec::with_capacity(stretch.len() - m + 1), squares);
    let energy = |sum: f64, squares: f64| if is_centred { squares - sum * sum / m as f64 } else { squares };
    each.push(energy(sum, squares));
    for (out, into) in stretch.iter().zip(&stretch[m..]) {
        sum += into - out;
        squares += into * into;
        most = squares.max(most);
        squares -= out * out;
        each.push(energy(sum, squares));
    }
    // Each step rounds thrice, numbers of at most `most`; the square of the sum over m is
    // at most that too, and the sum itself off by as many roundings of √(m·most).
    let roundings = (2 * m + 6 * each.len() + 32) as f64;
    Energies { off: 4.0 * roundings * ROUNDING * most, length: (1.01 * most).sqrt(), each }
}
