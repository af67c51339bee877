// Texts, numbers and times in the language of the page. The page has the translations of all texts in the scripts.

const translations = JSON.parse(document.getElementById("texts")?.textContent ?? "{}");

export const language = document.documentElement.lang;
const locale = language === "en" ? "en-GB" : language;
const plurals = new Intl.PluralRules(locale);

const fill = (text, values) => text.replace(/%(?:%|\((\w+)\)s)/g, (_place, name) => (name ? values[name] : "%"));

export const gettext = (text, values = {}) => fill(translations[text] ?? text, values);

export function ngettext(one, many, count, values = {}) {
  const [singular, plural] = translations[one] ?? [one, many];
  return fill(plurals.select(count) === "one" ? singular : plural, { num: number(count), ...values });
}

// With thin spaces between thousands, as on the pages.
const grouped = new Intl.NumberFormat("en");
export const number = (value) => grouped.format(value).replaceAll(",", "\u202f");

export const decimal = (value, digits = 1) =>
  new Intl.NumberFormat(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits, useGrouping: false }).format(value);

export const percent = (share, digits = 1) =>
  new Intl.NumberFormat(locale, { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits }).format(share);

export function timeFormat(form, timeZone) {
  try {
    return new Intl.DateTimeFormat(locale, { ...form, timeZone });
  } catch {
    return new Intl.DateTimeFormat(locale, form); // the browser does not know the time zone
  }
}
