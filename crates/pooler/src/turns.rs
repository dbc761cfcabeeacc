//! Turns: code that never has to wait, because its peer is always faster, lets others run now and
//! then. Every loop of reads counts its rounds here.

/// Rounds before others have a turn: 16 buffers of 16 KiB take about 200 µs.
const ROUNDS_MAX: u32 = 16;

/// Rounds since the last turn of the others.
#[derive(Debug, Default)]
pub struct Turns(u32);

impl Turns {
    /// One more round; at times the others go first.
    pub fn round(&mut self) {
        self.0 += 1;
        if self.0 == ROUNDS_MAX {
            self.0 = 0;
            machine::yield_now();
        }
    }
}
