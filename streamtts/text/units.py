"""Units of measure behind a number, and how they are said."""

from __future__ import annotations

import re

UNITS = {  # written: one, many
    "km/h": ("kilometer per hour", "kilometers per hour"), "kph": ("kilometer per hour", "kilometers per hour"),
    "mph": ("mile per hour", "miles per hour"), "m/s": ("meter per second", "meters per second"),
    "mbps": ("megabit per second", "megabits per second"), "fps": ("frame per second", "frames per second"),
    "km": ("kilometer", "kilometers"), "cm": ("centimeter", "centimeters"), "mm": ("millimeter", "millimeters"),
    "m²": ("square meter", "square meters"), "km²": ("square kilometer", "square kilometers"),
    "m³": ("cubic meter", "cubic meters"), "m": ("meter", "meters"), "ft": ("foot", "feet"), "mi": ("mile", "miles"),
    "kg": ("kilogram", "kilograms"), "g": ("gram", "grams"), "mg": ("milligram", "milligrams"),
    "lb": ("pound", "pounds"), "lbs": ("pound", "pounds"), "oz": ("ounce", "ounces"), "l": ("liter", "liters"),
    "dl": ("deciliter", "deciliters"), "ml": ("milliliter", "milliliters"),
    "h": ("hour", "hours"), "hr": ("hour", "hours"), "hrs": ("hour", "hours"),
    "min": ("minute", "minutes"), "mins": ("minute", "minutes"), "s": ("second", "seconds"),
    "sec": ("second", "seconds"), "secs": ("second", "seconds"), "ms": ("millisecond", "milliseconds"),
    "kb": ("kilobyte", "kilobytes"), "mb": ("megabyte", "megabytes"), "gb": ("gigabyte", "gigabytes"),
    "tb": ("terabyte", "terabytes"), "hz": ("hertz", "hertz"), "khz": ("kilohertz", "kilohertz"),
    "mhz": ("megahertz", "megahertz"), "ghz": ("gigahertz", "gigahertz"), "w": ("watt", "watts"),
    "kw": ("kilowatt", "kilowatts"), "kwh": ("kilowatt hour", "kilowatt hours"), "v": ("volt", "volts"),
    "μm": ("micrometer", "micrometers"), "μs": ("microsecond", "microseconds"), "Ω": ("ohm", "ohms"),
    "¢": ("cent", "cents"),
    "db": ("decibel", "decibels"),
    "tbsp": ("tablespoon", "tablespoons"), "tsp": ("teaspoon", "teaspoons"),
    "mpg": ("mile per gallon", "miles per gallon"), "gbps": ("gigabit per second", "gigabits per second"),
    "kbps": ("kilobit per second", "kilobits per second"), "rpm": ("revolution per minute", "revolutions per minute"),
    "bpm": ("beat per minute", "beats per minute"), "kcal": ("kilocalorie", "kilocalories"),
    "px": ("pixel", "pixels"), "yr": ("year", "years"), "yrs": ("year", "years"),
    "yd": ("yard", "yards"), "yds": ("yard", "yards"), "gal": ("gallon", "gallons"), "qt": ("quart", "quarts"),
    "qts": ("quart", "quarts"), "fl oz": ("fluid ounce", "fluid ounces"), "sq ft": ("square foot", "square feet"),
    "m/s²": ("meter per second squared", "meters per second squared"), "ft²": ("square foot", "square feet"),
    "cm²": ("square centimeter", "square centimeters"), "mm²": ("square millimeter", "square millimeters"),
    "cm³": ("cubic centimeter", "cubic centimeters"), "ft³": ("cubic foot", "cubic feet"),
    "mmhg": ("millimeter of mercury", "millimeters of mercury"), "inhg": ("inch of mercury", "inches of mercury"),
    "kJ": ("kilojoule", "kilojoules"), "mol": ("mole", "moles"), "mmol": ("millimole", "millimoles"),
    "ppm": ("part per million", "parts per million"), "ppb": ("part per billion", "parts per billion"),
    "atm": ("atmosphere", "atmospheres"), "kPa": ("kilopascal", "kilopascals"),
    "mah": ("milliamp hour", "milliamp hours"),
    "psi": ("pound per square inch", "pounds per square inch"), "mV": ("millivolt", "millivolts"),
    "mA": ("milliamp", "milliamps"), "kV": ("kilovolt", "kilovolts"), "MW": ("megawatt", "megawatts"),
    "GW": ("gigawatt", "gigawatts"), "MWh": ("megawatt hour", "megawatt hours"), "hp": ("horsepower", "horsepower"),
    "Gb": ("gigabit", "gigabits"), "Mb": ("megabit", "megabits"),
    "sq mi": ("square mile", "square miles"), "dpi": ("dot per inch", "dots per inch"),
    "kΩ": ("kiloohm", "kiloohms"), "MΩ": ("megaohm", "megaohms"), "hPa": ("hectopascal", "hectopascals"),
    "bps": ("basis point", "basis points"),
    "nm": ("nanometer", "nanometers"), "mcg": ("microgram", "micrograms"), "μg": ("microgram", "micrograms"),
}  # fmt: skip
_ALIKE = [frozenset(words.split()) for words in ("g kg oz lb lbs", "mm cm m km in ft mi", "km/h mph", "ml l oz")]


def _pattern() -> str:
    """All units, the longest first, by their first letters: few of them are tried behind a number."""
    rests: dict[str, list[str]] = {}
    for unit in sorted(UNITS, key=len, reverse=True):
        rests.setdefault(unit[0], []).append(re.escape(unit[1:]))
    first = "".join({letter for unit in rests for letter in (unit.lower(), unit.upper())})
    groups = [f"{letter}(?:{'|'.join(rest)})" for letter, rest in rests.items()]
    return rf"(?=[{first}])(?:{'|'.join(groups)})"


UNIT = _pattern()


def unit_names(unit: str) -> tuple[str, str] | None:
    """One and many of a unit; ``None`` for a small letter where it must be a capital: ma is no mA."""
    return UNITS.get(unit) or UNITS.get(unit.lower())


def same_measure(first: str, second: str) -> bool:
    """Whether two units measure the same: 200g/7oz, but 250 mg/5 mL."""
    return any({first.lower(), second.lower()} <= alike for alike in _ALIKE)
