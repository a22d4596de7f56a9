"""A map of the modules, in the order to read them. A family shares its first word.

The spine, to read first: specs, models, engine, data, metrics, results, training and
scripts/train.py. A family imports itself and those above it, never one below.

Facts
    specs                  the paper's 35 models, its rate search, our Table 3, a size's step
    paper                  what the paper printed, what follows from it, what the report cites
    packages               what the Python that runs a script lacks
Models and the plain loop
    models                 a spec becomes a torch module: Figs 6 to 8
    engine                 fit and predict, batch by batch: any model, any device
Files
    files                  written whole or not at all, or a line at a time, locked
Data
    data                   a source -> splits of uint8 images, labels, paths; other splits of them
    data_sources           a source -> a table of films: folders, the Hub, the films in the box
    data_tables            sources that are tables: CSV, JSON lines, parquet, save_to_disk
    data_choices           what a person says of a source; which classes are pneumonia
    data_splits            patients, splits made and made anew, the audit
    equalise               films with equal grey levels
    data_images            one image file -> one gray film
    data_dicom             one DICOM file -> gray pixels as a viewer shows them
    data_phantoms          synthetic radiographs, for tests
Exact SGD in sample space
    gram                   K = X Xᵀ of all images, exact; from pixels to it and back
    sample_space           Linear nets and MLPs trained on K, many side by side
Runs
    results                a run's record: write, read, list, choose
    jobs                   what is asked for becomes jobs, in their order
    machine                the device, its number formats, what it is called, how it fails
    training               jobs become records; checkpoints, weights, what the data is
    search                 settings for Table 3 tried on validation images
Judgement
    metrics                logits and labels -> scores and curves over thresholds
    intervals              how far a score or a mean of scores may be from what was measured
    curves                 statistics of training curves
    study                  a study read from its records and summed up
    comparisons            like with like: image sizes, durations, re-splits
    effects                what counts as an effect: rules, evidence
    claims                 a verdict on each of the paper's claims
    deviations             rules that were changed after results were seen (deviations.toml)
Experiments beside the study
    starts                 which MLPs are dead before they learn: a census of starting weights
    experiments            runs beside the study, the census of starts, the search for Table 3
    deaths                 the census as probabilities, and held against trained runs
    swings                 how much of a score is the luck of epoch, seed and split
Prediction
    predict                a person's images, DICOM included, through a trained run
    predict_weights        which run, its weights and its thresholds
    predict_likeness       is an image like the training's films?
    predict_maps           what drove a prediction, pixel by pixel
    predict_export         the model for use elsewhere, with its card
What the models see
    baselines              what logistic regression tells from little of a film, without a lung
    changes                test films changed on purpose, shown to trained weights
    external               trained models and baselines on films of another hospital
The report (its words: templates/)
    report                 a study -> index.html and report.md
    report_summary         what stands at the top, and how the runs were made
    report_headlines       the four findings at the top
    report_method          sections 1 and 2
    report_findings        sections 3 to 5
    report_seeing          sections 6.1 and 6.2: floors, changed films
    report_external        section 6.3: another hospital
    report_experiments     the experiments: why MLPs die, image sizes, the last epoch
    report_beyond          chapter 7: Table 3, what each of its changes is worth
    report_appendices      appendices B to H
    report_errors          appendix E: which test images are missed
    report_titles          what is seen in figures and tables, in numbers for their titles
    report_thresholds      the tool for thresholds, and its table
    report_evidence        the list of records, and what the page carries along
    report_items           pictures, tables and listings as the templates ask for them
    report_data            the numbers behind each picture, as CSV
    report_figures         bars, counts and shares, and what all pictures share
    report_figures_scores  a row a model: scores at a glance, re-splits
    report_figures_curves  curves by epoch, sizes compared
    report_figures_ranking  ROC, precision-recall and calibration curves
    report_figures_seeing  floors beside models, a learning curve, changed films
    report_figures_trials  pictures of the experiments
    report_figures_beyond  Table 3's ladder, accuracy over time
    report_weights         first-layer weights as images, their scale, and over a phantom
    report_pictures        how a figure becomes SVG, and a radiograph a PNG
"""
