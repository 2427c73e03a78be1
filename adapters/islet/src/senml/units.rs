//! Exact conversions between units of the same quantity. Spec: RFC 8428 cl. 12.1, RFC 8798 cl. 3

use tombolo_types::envelope::Decimal;

/// A unit, the unit it is counted in, and how many of those it is, as mantissa and exponent.
///
/// Left out are those whose factor is no decimal (`km/h`, `m/h`, `mm/h`, `1/min`, `beat/min`) and
/// those that begin elsewhere (`Cel`, `dBm`): a conversion rounds nothing. `%` is not a hundredth in
/// SenML but an older name of the plain ratio `/`; a hundredth is `/100`.
const SCALES: &[(&str, &str, i128, i32)] = &[
    ("%", "/", 1, 0),
    ("/100", "/", 1, -2),
    ("/1000", "/", 1, -3),
    ("Ah", "C", 36, 2),
    ("B/s", "bit/s", 8, 0),
    ("GB", "B", 1, 9),
    ("KiB", "B", 1024, 0),
    ("MB/s", "bit/s", 8, 6),
    ("MHz", "Hz", 1, 6),
    ("Mbit/s", "bit/s", 1, 6),
    ("VAh", "VAs", 36, 2),
    ("Wh", "J", 36, 2),
    ("Wh/km", "J/m", 36, -1),
    ("cm", "m", 1, -2),
    ("g", "kg", 1, -3),
    ("g/l", "kg/m3", 1, 0),
    ("h", "s", 36, 2),
    ("hPa", "Pa", 1, 2),
    ("kVA", "VA", 1, 3),
    ("kVAh", "VAs", 36, 5),
    ("kW", "W", 1, 3),
    ("kWh", "J", 36, 5),
    ("km", "m", 1, 3),
    ("kvar", "var", 1, 3),
    ("kvarh", "vars", 36, 5),
    ("l", "m3", 1, -3),
    ("l/s", "m3/s", 1, -3),
    ("mA", "A", 1, -3),
    ("mV", "V", 1, -3),
    ("mg/l", "kg/m3", 1, -3),
    ("min", "s", 6, 1),
    ("mm", "m", 1, -3),
    ("ms", "s", 1, -3),
    ("ppb", "/", 1, -9),
    ("ppm", "/", 1, -6),
    ("ppt", "/", 1, -12),
    ("ug/l", "kg/m3", 1, -6),
    ("ug/m3", "kg/m3", 1, -9),
    ("varh", "vars", 36, 2),
];

/// By what a number in `from` is multiplied to be one in `to`, or `None` where they measure
/// different things or the factor is not exact.
pub(super) fn factor(from: &str, to: &str) -> Option<Decimal> {
    if from == to {
        return Decimal::new(1, 0);
    }
    let (from_base, from_mantissa, from_exponent) = scale(from);
    let (to_base, to_mantissa, to_exponent) = scale(to);
    if from_base != to_base || from_mantissa.checked_rem(to_mantissa) != Some(0) {
        return None;
    }
    let mantissa = from_mantissa.checked_div(to_mantissa)?;
    Decimal::new(mantissa, from_exponent.checked_sub(to_exponent)?)
}

fn scale(unit: &str) -> (&str, i128, i32) {
    let found = SCALES.iter().find(|(name, ..)| *name == unit);
    found.map_or((unit, 1, 0), |(_, base, mantissa, exponent)| (*base, *mantissa, *exponent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tombolo_types::schema::is_registered_unit;

    #[test]
    fn only_exact_factors_are_given() {
        let table = [
            ("mm", "mm", Some("1")),
            ("mm", "m", Some("0.001")),
            ("m", "mm", Some("1000")),
            ("km", "cm", Some("100000")),
            ("kWh", "Wh", Some("1000")),
            ("kWh", "J", Some("3600000")),
            ("J", "kWh", None),
            ("h", "min", Some("60")),
            ("min", "h", None),
            ("ppb", "ppm", Some("0.001")),
            ("%", "/", Some("1")),
            ("/100", "/", Some("0.01")),
            ("/100", "/1000", Some("10")),
            ("mg/l", "ug/l", Some("1000")),
            ("g/l", "kg/m3", Some("1")),
            ("Wh/km", "J/m", Some("3.6")),
            ("MB/s", "Mbit/s", Some("8")),
            ("KiB", "B", Some("1024")),
            ("KiB", "GB", Some("0.000001024")),
            ("dBm", "dBW", None),
            ("km/h", "m/s", None),
            ("m", "s", None),
            ("Cel", "K", None),
            ("furlong", "m", None),
        ];
        for (from, to, expected) in table {
            assert_eq!(factor(from, to), expected.map(|text| text.parse().unwrap()), "{from} {to}");
        }
    }

    #[test]
    fn every_scaled_unit_can_stand_in_a_schema() {
        for (unit, base, ..) in SCALES {
            // What SenML calls `%` may come in, and is called `/` from there on.
            assert!(is_registered_unit(unit) || *unit == "%", "{unit}");
            assert!(is_registered_unit(base), "{base}");
        }
    }
}
