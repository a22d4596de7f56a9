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
    data_tables            tables -> one frame, whose columns are taken or asked for
    data_files             what lies in a folder: films, tables, splits, the files a table names
    data_readers           tables read: CSV, JSON lines, parquet, save_to_disk
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
    experiments            runs beside the study, the census of starts, the search for Table 3
Prediction
    predict                a person's images, DICOM included, through a trained run
    predict_weights        which run, its weights and its thresholds
    predict_likeness       is an image like the training's films?
    predict_maps           what drove a prediction, pixel by pixel
    predict_export         the model for use elsewhere, with its card
What the models see
    baselines              what logistic regression tells from little of a film, without a lung
    changes                test films changed on purpose, shown to trained weights
    carry_over             what of two shortcuts carries over to another hospital
    external               trained models and baselines on films of another hospital
The report (its words: templates/chapters/)
    items                  what a chapter asks for by name: items, numbers in prose
    report_plots           the few shapes that all pictures have
    page                   Markdown becomes one HTML page
    report_shortcuts       6.1 to 6.3: baselines, changed films, another hospital
    report_more            appendices B to F
    report_films           films in the report, where they may be shown
    report_try             a film to paint on: three models answer in the page (templates/try.js)
    report_carry           6.7: what carries over with equal grey levels
    report_luck            6.4 to 6.6: dead starts, image sizes, the last epoch
    report_table_3         chapter 7
    report_paper           sections 2 to 5: the paper's figures and tables
    report_headline        the summary: what differs, the findings, scores at a glance
    report_verdicts        what is said of each claim
    report_tool            the decision threshold as a tool on the page
    report                 a study -> report.md and index.html
"""
