//! One tile after another down a strip, with fresh starts where digits would be lost.

use crate::kernels::skew::{self, DIAGONALS, Hit, LANES, Place, SKEW, State};
use crate::kernels::{Instructions, centred_dot, squared_distance};

use super::best::Best;
use super::judge::Judge;
use super::many;
use super::prepare::Prepared;

/// Steps after which the recurrence starts anew from the definition: so many that the
/// start, of m operations a diagonal, costs little.
pub(super) fn steps_max(window: usize) -> usize {
    (window.saturating_mul(12)).clamp(1024, 4096)
}

/// Cells for which the recurrence must start anew at a step.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Restart {
    step: usize,
    dimension: usize,
    of: Cells,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cells {
    Group(usize),
    Lane(usize),
}

/// The states of the cells where a tile stands, one for each dimension.
pub(super) struct Tile<'a> {
    instructions: Instructions,
    rows: &'a Prepared,
    columns: &'a Prepared,
    states: Vec<State>,
    restarts: Vec<Restart>,
}

impl<'a> Tile<'a> {
    pub fn new(instructions: Instructions, rows: &'a Prepared, columns: &'a Prepared) -> Self {
        let states = vec![[0.0; DIAGONALS]; rows.dimensions.len()];
        Self { instructions, rows, columns, states, restarts: Vec::new() }
    }

    /// Looks at `steps` steps from `place` on and offers what is near.
    pub fn look(
        &mut self,
        place: Place,
        steps: usize,
        (of_rows, of_columns): (&Best<'_>, &Best<'_>),
        exact: &impl Fn(usize, usize) -> f64,
    ) {
        for dimension in 0..self.states.len() {
            self.states[dimension] = skew::start(
                self.instructions,
                self.rows.measure(),
                self.rows.windows_of(dimension),
                self.columns.windows_of(dimension),
                place,
            );
        }
        self.plan(place, steps);
        let (rows, columns) = (self.rows, self.columns);
        let judge = Judge { rows, columns, of_rows, of_columns, exact };
        let mut on_hit = |hit: &Hit<'_>| judge.judge(hit);
        let mut step = 0;
        for at in 0..=self.restarts.len() {
            let next = self.restarts.get(at).map_or(steps, |restart| restart.step);
            if next > step {
                let from = Place { row: place.row + step, column: place.column + step };
                if let [state] = &mut self.states[..] {
                    let (rows, columns) = (rows.side(of_rows), columns.side(of_columns));
                    let measure = self.rows.measure();
                    skew::walk(
                        self.instructions,
                        measure,
                        rows,
                        columns,
                        from,
                        next - step,
                        state,
                        &mut on_hit,
                    );
                } else {
                    let sides = (rows, columns);
                    let best = (of_rows, of_columns);
                    many::walk(
                        self.instructions,
                        sides,
                        best,
                        from,
                        next - step,
                        &mut self.states,
                        &mut on_hit,
                    );
                }
                step = next;
            }
            if let Some(&restart) = self.restarts.get(at) {
                restart_cells(rows, columns, place, restart, &mut self.states);
            }
        }
    }

    /// Finds where windows' energies collapse on the way.
    fn plan(&mut self, place: Place, steps: usize) {
        self.restarts.clear();
        let within = |collapsed: &'a [usize], from: usize, width: usize| {
            let first = collapsed.partition_point(|&window| window <= from);
            collapsed[first..].iter().copied().take_while(move |&window| window < from + steps + width)
        };
        for dimension in 0..self.states.len() {
            for window in within(&self.rows.dimensions[dimension].collapsed, place.row, SKEW) {
                for group in 0..LANES {
                    let step = (window - place.row).wrapping_sub(LANES * group);
                    self.restarts.push(Restart { step, dimension, of: Cells::Group(group) });
                }
            }
            for window in within(&self.columns.dimensions[dimension].collapsed, place.column, LANES - 1) {
                for lane in 0..LANES {
                    let step = (window - place.column).wrapping_sub(lane);
                    self.restarts.push(Restart { step, dimension, of: Cells::Lane(lane) });
                }
            }
        }
        // A tile starts fresh at step 0; what would be before it has wrapped around.
        self.restarts.retain(|restart| (1..steps).contains(&restart.step));
        self.restarts.sort_unstable();
    }
}

#[cold]
fn restart_cells(rows: &Prepared, columns: &Prepared, place: Place, restart: Restart, states: &mut [State]) {
    let state = &mut states[restart.dimension];
    let mut fresh = |group: usize, lane: usize| {
        let row = place.row + restart.step + LANES * group;
        let column = place.column + restart.step + lane;
        state[LANES * group + lane] = from_definition(rows, columns, restart.dimension, row, column);
    };
    match restart.of {
        Cells::Group(group) => (0..LANES).for_each(|lane| fresh(group, lane)),
        Cells::Lane(lane) => (0..LANES).for_each(|group| fresh(group, lane)),
    }
}

fn from_definition(rows: &Prepared, columns: &Prepared, dimension: usize, row: usize, column: usize) -> f64 {
    let m = rows.window;
    let (a, b) = (&rows.dimensions[dimension], &columns.dimensions[dimension]);
    let (x, y) = (&a.values[row..row + m], &b.values[column..column + m]);
    if rows.normalize { centred_dot((x, a.mean(row)), (y, b.mean(column))) } else { squared_distance(x, y) }
}
