"""The parts of the training and the inference benchmark: made clicks, frameworks, races, pages.

synth        made clicks with histories and a planted structure, written as arrays
arrays       those arrays as a framework reads them
frameworks   one file each; `serve` runs one in a process of its own
race         processes that are built alike, take turns and are compared
accuracy     training to the end, with early stopping that is the same for all
training_cases, inference_cases   what is measured
training_page, inference_page     the pages and the goals
"""
