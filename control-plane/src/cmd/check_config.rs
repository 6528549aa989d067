//! `check-config`: every setting, its value and where it came from.

use super::Common;
use super::failure::Failure;

pub(super) fn run(common: &Common) -> Result<(), Failure> {
    let layers = common.layers(&[])?;
    layers.check()?;
    for (key, value, source) in layers.shown() {
        let value = if value.is_empty() { "(none)" } else { value };
        println!("{key:<20} {value:<32} {source}");
    }
    Ok(())
}
