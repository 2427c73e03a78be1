//! The units that a schema may name.
//!
//! They are the units of SenML (RFC 8428 cl. 12.1, without those that it advises against for
//! new uses), its secondary units (RFC 8798 cl. 3), and `ppb` and `mg/L`, which air and water
//! stations use. `1` is for counts and plain ratios. The list grows; no entry ever changes.

/// Every registered unit, in ascending order of bytes.
pub const UNITS: &[&str] = &[
    "%", "%EL", "%RH", "/", "1", "1/min", "1/s", "A", "Ah", "B", "Bq", "Bspl", "C", "Cel", "EL",
    "F", "Gy", "H", "Hz", "J", "K", "MHz", "Mbit/s", "N", "NTU", "Ohm", "Pa", "S", "S/m", "Sv",
    "T", "V", "VA", "VAs", "W", "W/m2", "Wb", "Wh", "beat/min", "beats", "bit", "bit/s", "cd",
    "cd/m2", "cm", "count", "dB", "dBW", "dBm", "deg", "g", "h", "hPa", "kVA", "kVAh", "kW", "kWh",
    "kat", "kg", "kg/m3", "km", "km/h", "kvar", "kvarh", "l/s", "lat", "lm", "lon", "lx", "m",
    "m/h", "m/s", "m/s2", "m2", "m3", "m3/s", "mA", "mV", "mg/L", "min", "mm", "mm/h", "mol", "ms",
    "pH", "ppb", "ppm", "rad", "s", "sr", "ug/m3", "var", "varh", "vars",
];

/// Whether a schema may name this unit.
#[must_use]
pub fn is_registered_unit(unit: &str) -> bool {
    UNITS.binary_search(&unit).is_ok()
}
