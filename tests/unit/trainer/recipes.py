"""Recipes of every kind of label, for tests that need no images."""

SEAM = """
name: seam
task: multi-label
labels:
  good: {key: g, colour: white, role: quality}
  break: {key: b, colour: green, role: defect}
  short: {key: l, colour: red, role: attribute, expected: true}
  twill: {key: t, colour: blue, role: attribute}
costs: {escape: 10, overkill: 1}
"""
FRUIT = """
name: fruit
task: exclusive
labels:
  apple: {key: a, colour: green, role: attribute}
  orange: {key: o, colour: blue, role: attribute}
"""
