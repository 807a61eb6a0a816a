//! Numbers as people write them: `1,234.50`, `1.299,99`, `1 234`, `$12`, `12 %`, `(5)`, `4.2 kg`, `19.4M`, `<0.1`.
//!
//! A cell alone may have two readings: `1,234` is 1234 or 1.234. A column has the one reading that fits all its cells,
//! found by joining them in any order ([`Evidence`]) and kept with its type ([`Notation`]), so that a later row is read
//! as the training rows were, or is an error. If two readings fit, numbers without a separator decide, else the decimal
//! mark of the file; training then says which was taken.
//!
//! Groups and decimal marks: CLDR (Unicode Technical Standard 35, part 3); currency codes: ISO 4217.

mod evidence;
mod notation;
mod numeral;

pub(crate) use evidence::{Choice, Evidence, hint};
pub(crate) use notation::Notation;
pub(crate) use numeral::Mark;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::numeral::Separator;
    use super::*;
    use crate::data::cells::unit::Unit;

    /// The values of the cells in the notation of them all, and that notation as it is shown.
    fn read(cells: &[&str], usual: Mark) -> Option<(Vec<f64>, String)> {
        let evidence = |cells: &mut dyn Iterator<Item = &&str>| {
            let mut evidence = Evidence::default();
            let all = cells.map(|cell| evidence.look(cell, 1)).collect::<Vec<_>>();
            all.iter().all(|fits| *fits).then_some(evidence)
        };
        let joined = evidence(&mut cells.iter());
        assert_eq!(joined, evidence(&mut cells.iter().rev()), "the order does not matter");
        let notation = joined?.notation(usual, false)?;
        let values: Vec<f64> = cells
            .iter()
            .map(|cell| notation.parse(cell).unwrap_or_else(|| panic!("{cell:?} {notation:?}")))
            .collect();
        Some((values, notation.to_string()))
    }

    fn values(cells: &[&str]) -> Vec<f64> {
        read(cells, Mark::Dot).unwrap_or_else(|| panic!("{cells:?}")).0
    }

    #[test]
    fn thousands_are_read_whatever_is_between_them() {
        for cells in [
            ["1,234", "12", "1,234,567.5"],
            ["1.234", "12", "1.234.567,5"],
            ["1 234", "12", "1 234 567.5"],
            ["1\u{202f}234", "12", "1\u{a0}234\u{2009}567,5"],
            ["1'234", "12", "1\u{2019}234\u{2019}567.5"],
            ["1_234", "12", "1_234_567.5"],
            ["1,234", "12", "12,34,567.5"],
        ] {
            assert_eq!(values(&cells), [1234.0, 12.0, 1_234_567.5], "{cells:?}");
        }
    }

    #[test]
    fn one_reading_of_a_column_fits_all_its_cells() {
        assert_eq!(values(&["1,234", "13,42"]), [1.234, 13.42]);
        assert_eq!(values(&["1.234", "13,42"]), [1234.0, 13.42]);
        assert_eq!(values(&["1,234", "0,125"]), [1.234, 0.125], "no thousand begins with 0");
        assert_eq!(values(&["1,250", "980", "3"]), [1250.0, 980.0, 3.0], "decimals would be written");
        assert_eq!(values(&["1,250", "1234"]), [1.25, 1234.0], "thousands would be parted");
        assert_eq!(read(&["1,234.5", "1.234,5"], Mark::Dot), None);
        assert_eq!(
            values(&["1,234", "1 234"]),
            [1.234, 1234.0],
            "two separators are not both between thousands"
        );
        assert_eq!(read(&["1'234", "1 234"], Mark::Dot), None);
    }

    #[test]
    fn if_both_readings_fit_the_mark_of_the_file_decides() {
        let cells = ["45,210", "9,148"];
        let (values, shown) = read(&cells, Mark::Dot).unwrap();
        assert_eq!((values, shown.as_str()), (vec![45_210.0, 9_148.0], "numbers with , between thousands"));
        let (values, shown) = read(&cells, Mark::Comma).unwrap();
        assert_eq!((values, shown.as_str()), (vec![45.21, 9.148], "numbers with a decimal comma"));
    }

    #[test]
    fn negative_numbers_have_a_minus_or_parentheses() {
        let cells = ["-5", "\u{2212}5", "(5)", "5-", "-$5", "$-5", "($5.00)", "- 5", "+5"];
        assert_eq!(values(&cells), [-5.0, -5.0, -5.0, -5.0, -5.0, -5.0, -5.0, -5.0, 5.0]);
        for cell in ["--5", "-(5)", "(-5)", "(5", "5)", "-5-", "-", "()"] {
            assert_eq!(read(&[cell], Mark::Dot), None, "{cell}");
        }
    }

    #[test]
    fn a_unit_in_few_cells_is_none_unless_it_is_known() {
        let with = |text: &str, n: usize| {
            let mut evidence = Evidence::default();
            evidence.look(text, n);
            (0..90).for_each(|i| assert!(evidence.look(&i.to_string(), 1)));
            let notation = evidence.notation(Mark::Dot, false).unwrap();
            (notation.parse(text), evidence.n_strays(&notation))
        };
        assert_eq!(with("12a", 1), (None, 1));
        assert_eq!(with("12 kg", 9), (None, 9));
        assert_eq!(with("12 kg", 10), (Some(12.0), 0));
        assert_eq!(with("$12", 1), (Some(12.0), 0));
        assert_eq!(with("12k", 1), (Some(12_000.0), 0));
    }

    #[test]
    fn a_unit_is_the_same_throughout() {
        assert_eq!(values(&["$1,020.00", "$ 3", "17"]), [1020.0, 3.0, 17.0]);
        assert_eq!(values(&["12,5 €", "3 €"]), [12.5, 3.0]);
        assert_eq!(values(&["EUR 12.5", "3 EUR"]), [12.5, 3.0]);
        assert_eq!(values(&["4.2 kg", "11kg"]), [4.2, 11.0]);
        assert_eq!(values(&["60 months", "36 months"]), [60.0, 36.0]);
        assert_eq!(values(&["12.50%", "3 %"]), [12.5, 3.0]);
        assert_eq!(values(&["1.80 m", "1.7 m"]), [1.8, 1.7], "metres");
        assert_eq!(values(&["85.5 m2", "1,020 m2", "3m2"]), [85.5, 1020.0, 3.0]);
        assert_eq!(values(&["12.5/km2", "3/km2"]), [12.5, 3.0]);
        assert_eq!(values(&["12,-", "3,50", "1.200,--", "5,- "]), [12.0, 3.5, 1200.0, 5.0]);
        assert_eq!(values(&["12,- €", "3,50 €"]), [12.0, 3.5]);
        for cells in
            [&["4.2 kg", "300 g"][..], &["12 %", "0.12"], &["$5", "€5"], &["1st", "2nd"], &["2 m", "5 kg"]]
        {
            assert_eq!(read(cells, Mark::Dot), None, "{cells:?}");
        }
    }

    #[test]
    fn letters_multiply() {
        assert_eq!(values(&["19.4M", "870k", "12"]), [19_400_000.0, 870_000.0, 12.0]);
        assert_eq!(values(&["$1.2bn", "$3m", "$4k"]), [1.2e9, 3e6, 4e3]);
        assert_eq!(values(&["1,5 Mio. €", "3 Mrd €"]), [1.5e6, 3e9]);
        let notation = Notation { multiplied: false, ..Notation::default() };
        assert_eq!(notation.parse("5k"), None, "not in a column that has none");
    }

    #[test]
    fn digits_of_any_script_are_digits() {
        assert_eq!(
            values(&["٦٢", "१२", "１２", "12", "٣٫٥", "١٬٢٣٤"]),
            [62.0, 12.0, 12.0, 12.0, 3.5, 1234.0]
        );
        assert_eq!(read(&["²"], Mark::Dot), None);
    }

    #[test]
    fn codes_names_and_dates_are_no_numbers() {
        for cell in [
            "",
            "x",
            "B12",
            "m2",
            "5 Room2",
            "5 m4",
            "12,-5",
            "Room 12",
            "SKU-123",
            "v1.2",
            "1.2.3",
            "12-34",
            "1/2",
            "3:45",
            "2024-01-02",
            "10,00,0",
            "1,23,456.7.8",
            "0x4d2",
            "12_34",
            "_1",
            "1e2641",
            "12 kg 3",
            "5 very long words here",
            "192.168.0.1",
            "1,,234",
            ",",
            "1, 234",
            "#5",
            "5#",
        ] {
            assert_eq!(read(&[cell], Mark::Dot), None, "{cell:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            hundredths in -1_000_000_000_000_i64..1_000_000_000_000,
            decimal in prop::sample::select(vec![Mark::Dot, Mark::Comma]),
            thousands in prop::sample::select(vec![None, Some(Separator::Apostrophe), Some(Separator::Space)]),
            unit in prop::sample::select(vec!["", "$", "CHF", "kg", "%", "M", "months"]),
        ) {
            let notation = Notation { decimal, thousands, unit: Unit::new(unit).filter(|_| !unit.is_empty()), ..Notation::default() };
            let value = hundredths as f64 / 100.0;
            prop_assert_eq!(notation.parse(&notation.write(value)), Some(value));
        }

        #[test]
        fn the_order_of_cells_does_not_matter_and_no_text_is_too_odd(
            cells in prop::collection::vec("[(<$€-]{0,2}[0-9.,' ٣]{0,9}[%kM)+e]{0,2}|.{0,9}", 0..12)
        ) {
            let join = |cells: &mut dyn Iterator<Item = &String>| {
                let mut evidence = Evidence::default();
                cells.for_each(|cell| { evidence.look(cell, 1); });
                evidence
            };
            let evidence = join(&mut cells.iter());
            prop_assert_eq!(&evidence, &join(&mut cells.iter().rev()));
            for usual in [Mark::Dot, Mark::Comma] {
                if let Some(notation) = evidence.notation(usual, false) {
                    let n = cells.iter().filter(|cell| notation.parse(cell).is_some()).count();
                    prop_assert!(n * 10 >= evidence.amounts * 5, "{notation:?} reads {n} of {cells:?}");
                }
            }
        }
    }

    #[test]
    fn a_later_cell_is_read_as_the_column_is_written_or_not_at_all() {
        let plain = Notation::default();
        assert_eq!(plain.parse("1,250"), None);
        let german = Notation { decimal: Mark::Comma, thousands: Some(Separator::Dot), ..plain };
        assert_eq!(
            (german.parse("1.250"), german.parse("1.25"), german.parse("1,25")),
            (Some(1250.0), None, Some(1.25))
        );
        let kilos = Notation { unit: Unit::new("kg"), ..plain };
        assert_eq!(
            (kilos.parse("3 kg"), kilos.parse("3"), kilos.parse("3 lb")),
            (Some(3.0), Some(3.0), None)
        );
    }
}
