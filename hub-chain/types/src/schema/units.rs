//! The units that a schema may name.
//!
//! They are the units and secondary units of SenML's registry: RFC 8428 cl. 12.1, RFC 8798 cl. 2
//! and 3, and of what was registered later `NTU`, the parts `ppb` and `ppt`, `VAh`, and masses per
//! liter. Left out is `%`: there it names a plain ratio, everywhere else a hundredth; write `/` or
//! `/100`. `1` is for counts and plain ratios without a name. The list grows; no entry ever changes.

/// Every registered unit, in ascending order of bytes.
pub const UNITS: &[&str] = &[
    "%EL", "%RH", "/", "/100", "/1000", "1", "1/min", "1/s", "A", "Ah", "B", "B/s", "Bq", "Bspl",
    "C", "Cel", "EL", "F", "GB", "Gy", "H", "Hz", "J", "J/m", "K", "KiB", "MB/s", "MHz", "Mbit/s",
    "N", "NTU", "Ohm", "Pa", "S", "S/m", "Sv", "T", "V", "VA", "VAh", "VAs", "W", "W/m2", "Wb",
    "Wh", "Wh/km", "beat/min", "beats", "bit", "bit/s", "cd", "cd/m2", "cm", "count", "dB", "dBW",
    "dBm", "deg", "g", "g/l", "h", "hPa", "kVA", "kVAh", "kW", "kWh", "kat", "kg", "kg/m3", "km",
    "km/h", "kvar", "kvarh", "l", "l/s", "lat", "lm", "lon", "lx", "m", "m/h", "m/s", "m/s2", "m2",
    "m3", "m3/s", "mA", "mV", "mg/l", "min", "mm", "mm/h", "mol", "ms", "pH", "ppb", "ppm", "ppt",
    "rad", "s", "sr", "ug/l", "ug/m3", "var", "varh", "vars",
];

/// Whether a schema may name this unit.
#[must_use]
pub fn is_registered_unit(unit: &str) -> bool {
    UNITS.binary_search(&unit).is_ok()
}
