import {
  Button,
  FileUpload,
  Form,
  FormGroup,
  Modal,
  ModalBody,
  ModalFooter,
  ModalHeader,
  Progress,
} from "@patternfly/react-core";
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { call } from "../../../api/client";
import type { Task, Upload } from "../../../api/contract";
import { words } from "../../../messages";
import { Failure } from "../../../parts/Failure";
import { TextField } from "../../../parts/form/TextField";
import { isOpen } from "../../../parts/jobs/JobState";
import { say } from "../../../parts/toasts";
import { bring } from "../../../parts/upload";

const said = words.host.images;
/** Asks OMS for the address of an upload. */
type Begin = (name: string, size: number) => Promise<Upload>;

/** A file of this computer's brought to a host through OMS, with how far it is; closing it breaks it off. */
export function UploadDialog({ begin, onClose }: { begin: Begin; onClose: () => void }): React.ReactNode {
  const [file, setFile] = useState<File>();
  const [name, setName] = useState("");
  const [percent, setPercent] = useState<number>();
  const [failure, setFailure] = useState<Error | null>(null);
  const stop = useRef(new AbortController());
  const client = useQueryClient();
  useEffect(() => () => stop.current.abort(), []);

  async function send(chosen: File): Promise<void> {
    setFailure(null);
    setPercent(0);
    try {
      const upload = await begin(name.trim(), chosen.size);
      await brought(chosen, upload, setPercent, stop.current.signal);
      await ended(upload.job);
      say("success", said.uploaded(name));
      if (!stop.current.signal.aborted) onClose();
    } catch (why) {
      if (!stop.current.signal.aborted) setFailure(why instanceof Error ? why : new Error(String(why)));
      setPercent(undefined);
    } finally {
      void client.invalidateQueries({ refetchType: "active" });
    }
  }

  const isBusy = percent !== undefined;
  return (
    <Modal isOpen variant="small" onClose={onClose} aria-labelledby="upload-title">
      <ModalHeader title={said.upload} labelId="upload-title" />
      <ModalBody>
        <Form
          id="upload-form"
          onSubmit={(event) => {
            event.preventDefault();
            if (file && !isBusy) void send(file);
          }}
        >
          <FormGroup label={said.file} fieldId="file" isRequired>
            <FileUpload
              id="file"
              filename={file?.name ?? ""}
              filenamePlaceholder={said.choose}
              browseButtonText={said.choose}
              isDisabled={isBusy}
              hideDefaultPreview
              onFileInputChange={(_, chosen) => {
                setFile(chosen);
                setName(nameOf(chosen.name));
              }}
              onClearClick={() => setFile(undefined)}
            />
          </FormGroup>
          <TextField id="upload-name" label={said.name} value={name} onChange={setName} isRequired />
          {isBusy && <Progress value={percent} title={said.uploading} aria-label={said.uploading} />}
          <Failure of={failure} title={words.toasts.notDone} />
        </Form>
      </ModalBody>
      <ModalFooter>
        <Button
          type="submit"
          form="upload-form"
          isDisabled={!file || name.trim() === "" || isBusy}
          isLoading={isBusy}
        >
          {said.upload}
        </Button>
        <Button variant="link" onClick={onClose}>
          {words.parts.cancel}
        </Button>
      </ModalFooter>
    </Modal>
  );
}

/** Bring the bytes; what cannot be brought is given up at once, or the host would wait for them, and keep their name. */
async function brought(
  file: File,
  { job, address }: Upload,
  told: (percent: number) => void,
  stopped: AbortSignal,
): Promise<void> {
  try {
    await bring(file, address, told, stopped);
  } catch (why) {
    const left = await call("taskservices.cancel_task", { task_id: job }).catch(() => undefined);
    if (left?.state !== "done") throw why; // all had come, and the answer was lost
  }
}

/** Wait for the end of a job. Throws its error. */
async function ended(task_id: string): Promise<void> {
  let job: Task;
  do job = await call("taskservices.wait_task", { task_id, seconds: 60 });
  while (isOpen(job));
  if (job.error) throw new Error(job.error.message);
}

/** The file's own name, as far as it is a legal one. */
function nameOf(file: string): string {
  return file.replaceAll(/[^A-Za-z0-9._+-]/g, "-").replace(/^[^A-Za-z0-9]+/, "");
}
